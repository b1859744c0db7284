"""Asking many questions: accuracy, plots, reports and whole studies."""
