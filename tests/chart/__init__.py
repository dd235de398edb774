"""The Helm chart: what is generated from its values, and its tests with the real helm."""
