"""Where a data scientist meets the project: training, its measurement, and the registry.

`python -m training --help` lists the commands. The library `forecast` never imports this package.
"""
