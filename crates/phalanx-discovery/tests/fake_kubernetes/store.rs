//! Objects with resource versions, as etcd keeps them behind a real API server: every change has a version, the past can be
//! read until it is forgotten.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// A change: its version, `ADDED`, `MODIFIED` or `DELETED`, the kind of objects, and the object.
pub(crate) type Change = (u64, &'static str, String, Value);

/// All objects and how they came about.
#[derive(Default)]
pub(crate) struct Store {
    version: u64,
    /// Versions below this one are forgotten.
    floor: u64,
    history: Vec<Change>,
}

impl Store {
    /// The version now.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// The next version.
    pub(crate) fn advance(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    /// Forgets the past.
    pub(crate) fn compact(&mut self) {
        self.floor = self.version;
    }

    /// Whether a version is forgotten.
    pub(crate) fn is_gone(&self, version: u64) -> bool {
        version < self.floor
    }

    /// Creates or replaces an object.
    pub(crate) fn put(&mut self, plural: &str, mut object: Value) {
        let name = object["metadata"]["name"].as_str().expect("every object has a name").to_owned();
        let known = self.at(plural, self.version).contains_key(&name);
        let version = self.advance();
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        object["metadata"]["namespace"] = json!("prod");
        let kind = if known { "MODIFIED" } else { "ADDED" };
        self.history.push((version, kind, plural.to_owned(), object));
    }

    /// Deletes an object.
    pub(crate) fn delete(&mut self, plural: &str, name: &str) {
        let mut object =
            self.at(plural, self.version).remove(name).expect("only what is there can be deleted");
        let version = self.advance();
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        self.history.push((version, "DELETED", plural.to_owned(), object));
    }

    /// The objects of a version, by name.
    pub(crate) fn at(&self, plural: &str, version: u64) -> BTreeMap<String, Value> {
        let mut objects = BTreeMap::new();
        for (at, kind, of, object) in &self.history {
            if *at > version || of != plural {
                continue;
            }
            let name = object["metadata"]["name"].as_str().expect("every object has a name").to_owned();
            match *kind {
                "DELETED" => objects.remove(&name),
                _ => objects.insert(name, object.clone()),
            };
        }
        objects
    }

    /// What has changed after a version.
    pub(crate) fn after<'a>(&'a self, plural: &'a str, version: u64) -> impl Iterator<Item = &'a Change> {
        self.history.iter().filter(move |(at, _, of, _)| *at > version && of == plural)
    }
}

/// Whether an object has the labels of a selector of `name=value` parts.
pub(crate) fn is_selected(object: &Value, selector: &str) -> bool {
    let labels = &object["metadata"]["labels"];
    selector.split(',').filter(|part| !part.is_empty()).all(|part| {
        let (name, value) = part.split_once('=').expect("the fake knows name=value only");
        labels[name].as_str() == Some(value)
    })
}
