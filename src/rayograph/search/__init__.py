"""The room of Ray Tune: search spaces, trials, the ledger, the winner."""
