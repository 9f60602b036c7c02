"""Tests of the rules, and of the harness that tests rules."""
