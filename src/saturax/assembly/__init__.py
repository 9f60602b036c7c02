"""From an extracted graph to programs that run: constants, prologues, held products."""
