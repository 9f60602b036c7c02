"""Whether a candidate computes what its original does: inputs, errors, verdicts, blame."""
