"""The bricks of the system tests (and of deploy/demo.sh): network namespaces, real servers, real clients, the real binary.

Standard library only. Start with net.py (the machine room the tests run in), then case.py (what a test looks like).
"""
