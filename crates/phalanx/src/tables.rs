//! The tables that every control node has: what each is called, who wins in it, and who keeps a copy of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use phalanx_metadata::{Entry, Event, Metadata, MetadataConfig, Rule, Table};

use crate::{jobs, labelling, locations};

/// What a part of this program declares: the name of its table, and the rule by which its records are merged.
pub(crate) type Declared = (&'static str, Rule);

fn declared() -> impl Iterator<Item = Declared> {
    jobs::TABLES.into_iter().chain([labelling::TABLE, locations::TABLE])
}

/// The table of a name in this program.
pub(crate) fn table(name: &'static str) -> Table {
    Table::new(name).expect("the names of this program's tables are short words")
}

/// All tables and their rules.
pub(crate) fn config() -> MetadataConfig {
    let tables = declared().map(|(name, rule)| (table(name), rule));
    MetadataConfig { tables: tables.collect(), ..MetadataConfig::default() }
}

/// Whether what has changed is kept over a stop of the whole cluster.
pub(crate) fn is_stored(event: &Event) -> bool {
    match event {
        Event::Changed(key) => {
            declared().any(|(name, rule)| name == key.table().as_str() && rule == Rule::LastWriter)
        }
        Event::Everything => true,
    }
}

/// Keeps a copy of a table in a form of its own, for readers that cannot wait. It is told on the keeper's task, so it must
/// be quick.
pub(crate) trait Mirror: Send + Sync {
    /// One record is so now, or gone.
    fn changed(&self, name: &str, entry: Option<Entry<'_>>);
    /// Any record may have changed: these are all.
    fn replaced(&self, entries: &mut dyn Iterator<Item = Entry<'_>>);
}

/// The mirrors, by their tables.
#[derive(Default)]
pub(crate) struct Mirrors(BTreeMap<Table, Arc<dyn Mirror>>);

impl Mirrors {
    /// With one more.
    pub(crate) fn with(mut self, (name, _): Declared, mirror: Arc<dyn Mirror>) -> Self {
        self.0.insert(table(name), mirror);
        self
    }

    /// Tells the mirrors what has changed. Says whether that may concern a table that has none.
    pub(crate) fn tell(&self, core: &Metadata, event: &Event) -> bool {
        match event {
            Event::Changed(key) => match self.0.get(key.table()) {
                Some(mirror) => {
                    mirror.changed(key.name(), core.value(key));
                    false
                }
                None => true,
            },
            Event::Everything => {
                for (table, mirror) in &self.0 {
                    mirror.replaced(&mut core.table(table));
                }
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use phalanx_metadata::Key;

    #[test]
    fn each_table_has_one_rule_and_only_what_outlives_its_writer_is_stored() {
        assert_eq!(config().tables.len(), declared().count(), "no two share a name");
        for (name, rule) in declared() {
            let key = Key::new(table(name), "a").unwrap();
            assert_eq!(is_stored(&Event::Changed(key)), rule == Rule::LastWriter, "{name}");
        }
    }
}
