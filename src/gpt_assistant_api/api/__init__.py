"""The faces over HTTP: they translate and never decide."""
