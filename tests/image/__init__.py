"""The image, built by buildah and run by runc: only by `make image`, as root."""
