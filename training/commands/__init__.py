"""The commands of `python -m training`, a module each; every one exposes its click command as `command`."""
