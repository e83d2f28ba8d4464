"""`python -m service` is the command `mlp-service`."""

from service.cli.main import app

app(prog_name="mlp-service")
