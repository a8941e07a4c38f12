//! The log of an agent, on the standard error: a service's output belongs to whoever runs the service.

use tracing_subscriber::EnvFilter;

use crate::exit::Failure;
use crate::output::may_colour;

/// Begins to log what the filter lets through.
pub(super) fn start(filter: &str) -> Result<(), Failure> {
    let filter: EnvFilter =
        filter.parse().map_err(|error| Failure::usage(format!("log = {filter:?}: {error}")))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(may_colour(&std::io::stderr()))
        .try_init()
        .map_err(Failure::failed)
}
