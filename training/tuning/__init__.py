"""Choosing hyper-parameters: folds before the held-out period, a space to search, a study that resumes."""
