//! What `deploy/` offers must work with the program as it is: each file is read the way its reader will read it.

#![allow(clippy::unwrap_used, reason = "a file that cannot be read is wrong")]

mod configurations;
mod files;
mod manifests;
mod units;
