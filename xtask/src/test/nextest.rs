//! How nextest runs our tests: a test that hangs is ended and fails, instead of the whole run.

use std::path::Path;

/// Where the settings are, from the root. What the workspace itself says in `.config/nextest.toml` comes before them.
const SETTINGS: &str = "xtask/src/test/nextest.toml";

/// The value of `--tool-config-file`.
pub(super) fn tool_configuration(root: &Path) -> String {
    format!("xtask:{}", root.join(SETTINGS).display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Workspace;

    #[test]
    fn the_settings_are_where_we_say() {
        let root = Workspace::load().expect("the tests run inside of it").root;
        assert!(root.join(SETTINGS).exists());
    }
}
