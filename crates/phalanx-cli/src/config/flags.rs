//! The flags of the configuration, made of the same list of keys as the rest.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};

use super::key::{Count, KEYS};
use super::layers::{Layers, Origin};

/// The configuration of an agent on the command line.
#[derive(Debug, Args)]
pub(crate) struct ConfigArguments {
    /// The configuration in TOML; every key is also a flag, and PHALANX_KEY_NAME in the environment
    #[arg(long, value_name = "PATH", env = "PHALANX_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) flags: Flags,
}

/// What was given by flags, in the order of the keys.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flags(Vec<(usize, Vec<String>)>);

impl Flags {
    pub(crate) fn put_over(&self, layers: &mut Layers) {
        for (key, values) in &self.0 {
            layers.set(&KEYS[*key], values.clone(), Origin::Flag);
        }
    }
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        KEYS.iter().fold(command, |command, key| {
            let help = match key.default {
                Some(default) => format!("{} [default: {default}]", key.help),
                None => key.help.to_owned(),
            };
            let action = match key.count {
                Count::One => ArgAction::Set,
                Count::Many => ArgAction::Append,
            };
            let flag = Arg::new(key.name).long(key.name).value_name(key.value).help(help).action(action);
            command.arg(flag.help_heading(key.heading()))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        let given = |name| matches.get_many::<String>(name).map(|values| values.cloned().collect());
        let all = KEYS.iter().enumerate().filter_map(|(at, key)| Some((at, given(key.name)?)));
        self.0 = all.collect();
        Ok(())
    }
}
