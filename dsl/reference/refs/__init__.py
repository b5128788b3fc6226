"""Independent references for the operators of the strategy language: definitions over whole windows, never recursions."""
