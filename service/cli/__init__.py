"""The command line `mlp-service`: a file for each command."""
