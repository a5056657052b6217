"""New films in, a table of predictions out: part by part, written as they come."""
