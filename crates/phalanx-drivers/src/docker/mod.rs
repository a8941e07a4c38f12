//! Containers as tasks, by the Docker API.
