"""What a model looks at: maps of films, whether they depend on its weights, which films to show."""
