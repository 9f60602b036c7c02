"""The search by prediction: rounds of saturation, pricing and extraction, and its outline."""
