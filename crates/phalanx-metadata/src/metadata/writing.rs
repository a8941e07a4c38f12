//! What the program writes.

use std::cmp::Ordering;
use std::time::Instant;

use bytes::Bytes;

use super::Metadata;
use crate::Key;
use crate::config::Rule;
use crate::error::WriteError;
use crate::record::{Content, Order, Record, Stamp};
use crate::wire::VALUE_BYTES_MAX;

impl Metadata {
    /// Writes a value, in a table of [`Rule::Single`] or [`Rule::LastWriter`]. Readers here see it at once; others are
    /// told within [`BATCH`](crate::BATCH). Returns its stamp.
    ///
    /// # Errors
    /// [`WriteError`]; nothing has changed.
    pub fn set(&mut self, now: Instant, unix_ms: u64, key: &Key, value: Bytes) -> Result<Stamp, WriteError> {
        self.tick(now, unix_ms);
        self.write(key, None, Content::Value(value))
    }

    /// Writes a value with an order, in a table of [`Rule::Greatest`]. Returns its stamp.
    ///
    /// # Errors
    /// [`WriteError`], and [`WriteError::Outranked`] where a record of a greater order is known; nothing has changed.
    pub fn set_ordered(
        &mut self,
        now: Instant,
        unix_ms: u64,
        key: &Key,
        order: Order,
        value: Bytes,
    ) -> Result<Stamp, WriteError> {
        self.tick(now, unix_ms);
        self.write(key, Some(order), Content::Value(value))
    }

    /// Removes what is under a key, whoever has written it, in a table of [`Rule::LastWriter`]; in one of
    /// [`Rule::Single`] only this node's own. Returns the removal's stamp;
    /// `None` where there was nothing to remove.
    ///
    /// # Errors
    /// [`WriteError`]; nothing has changed.
    pub fn remove(&mut self, now: Instant, unix_ms: u64, key: &Key) -> Result<Option<Stamp>, WriteError> {
        self.tick(now, unix_ms);
        self.erase(key, None)
    }

    /// Removes what is under a key of a table of [`Rule::Greatest`], unless its order is greater. Returns the
    /// removal's stamp; `None` where there was nothing to remove.
    ///
    /// # Errors
    /// [`WriteError`]; nothing has changed.
    pub fn remove_ordered(
        &mut self,
        now: Instant,
        unix_ms: u64,
        key: &Key,
        order: Order,
    ) -> Result<Option<Stamp>, WriteError> {
        self.tick(now, unix_ms);
        self.erase(key, Some(order))
    }

    fn erase(&mut self, key: &Key, order: Option<Order>) -> Result<Option<Stamp>, WriteError> {
        self.permitted(key, order, &Content::Removed)?;
        match self.replica.entry(key) {
            Some(_) => self.write(key, order, Content::Removed).map(Some),
            None => Ok(None),
        }
    }

    fn write(&mut self, key: &Key, order: Option<Order>, content: Content) -> Result<Stamp, WriteError> {
        let rule = self.permitted(key, order, &content)?;
        let unix_ms = self.unix_ms;
        let stamp = match self.clock.tick(unix_ms) {
            Some(stamp) => stamp,
            None if rule == Rule::LastWriter => return Err(WriteError::ClockBehind),
            None => Stamp { unix_ms, counter: 0, writer: self.boot.node.clone() },
        };
        let record = Record { stamp: stamp.clone(), order: order.unwrap_or_default(), content };
        let beaten = self.replica.winner(key).is_some_and(|(origin, winner)| {
            record.compare(&self.boot, winner, origin, rule) == Ordering::Less
        });
        match rule {
            Rule::LastWriter if beaten => return Err(WriteError::ClockBehind),
            Rule::Greatest if beaten => return Err(WriteError::Outranked { key: key.clone() }),
            _ if !self.replica.has_room(key, &record) => return Err(WriteError::Full),
            _ => {}
        }
        self.replica.append(key, record);
        self.flush_soon();
        Ok(stamp)
    }

    fn permitted(&self, key: &Key, order: Option<Order>, content: &Content) -> Result<Rule, WriteError> {
        let table = key.table();
        let rule =
            self.replica.rule(table).ok_or_else(|| WriteError::UnknownTable { table: table.clone() })?;
        let needs_order = rule == Rule::Greatest;
        if needs_order != order.is_some() {
            return Err(WriteError::WrongRule { table: table.clone(), needs_order });
        }
        if rule == Rule::Single && !key.belongs_to(&self.boot.node) {
            return Err(WriteError::NotOwnKey { key: key.clone() });
        }
        match content {
            Content::Value(value) if value.len() > VALUE_BYTES_MAX => {
                Err(WriteError::ValueTooLarge { bytes: value.len() })
            }
            _ => Ok(rule),
        }
    }
}
