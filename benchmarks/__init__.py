"""The program against its peers, its promises and the machine's limits; run from the root."""
