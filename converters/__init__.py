"""From a tuned model to what a device runs: quantise, evaluate, train the classifiers, bundle."""
