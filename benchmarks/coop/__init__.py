"""The study of the cooperative start: python -m benchmarks.coop_study"""
