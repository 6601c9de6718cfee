"""Simulates KEDA over the numbers of the API."""
