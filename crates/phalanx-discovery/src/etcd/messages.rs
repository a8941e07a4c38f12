//! Answers of the gateway: numbers of 64 bits come as texts, bytes in base64, and what is empty or zero not at all.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// All that a range holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Entries {
    /// The revision of etcd as of which it is so.
    pub(super) revision: i64,
    /// Keys and values.
    pub(super) pairs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether there are more than were asked for.
    pub(super) more: bool,
}

/// A lease as it was granted or renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) id: i64,
    /// Zero where there is no such lease.
    pub(super) ttl_s: u64,
}

/// What a line of a watch says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WatchLine {
    /// Something in the range has changed.
    Changed,
    /// It lives.
    Quiet,
    /// It has ended, for this reason.
    Ended(String),
}

#[derive(Deserialize)]
struct Header {
    #[serde(default)]
    revision: String,
}

#[derive(Deserialize)]
struct RangeAnswer {
    header: Header,
    #[serde(default)]
    kvs: Vec<KeyValue>,
    #[serde(default)]
    more: bool,
}

#[derive(Deserialize)]
struct KeyValue {
    key: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
struct LeaseAnswer {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "TTL", default)]
    ttl: String,
}

#[derive(Deserialize)]
struct Streamed<T> {
    result: Option<T>,
    error: Option<Failure>,
}

#[derive(Deserialize, Default)]
struct Failure {
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct WatchAnswer {
    #[serde(default)]
    canceled: bool,
    #[serde(default)]
    cancel_reason: String,
    #[serde(default)]
    events: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: String,
}

/// A refusal: `message` or, in some versions, `error`.
#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    message: String,
    #[serde(default)]
    error: String,
}

/// Bytes, as the gateway takes them.
pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Reads the answer to a range.
pub(super) fn entries(json: &[u8]) -> Result<Entries, String> {
    let answer: RangeAnswer = parse(json)?;
    let revision = number(&answer.header.revision)?;
    let bytes = |text: &str| STANDARD.decode(text).map_err(|error| error.to_string());
    let pairs = answer.kvs.iter().map(|pair| Ok((bytes(&pair.key)?, bytes(&pair.value)?)));
    Ok(Entries { revision, pairs: pairs.collect::<Result<_, String>>()?, more: answer.more })
}

/// Reads the answer to a grant.
pub(super) fn granted(json: &[u8]) -> Result<Lease, String> {
    lease(&parse(json)?)
}

/// Reads the answer to a renewal, which is one line of a stream.
pub(super) fn renewed(json: &[u8]) -> Result<Lease, String> {
    match parse::<Streamed<LeaseAnswer>>(json)? {
        Streamed { result: Some(answer), .. } => lease(&answer),
        Streamed { error, .. } => Err(error.unwrap_or_default().message),
    }
}

/// Reads a line of a watch.
pub(super) fn watch_line(json: &[u8]) -> Result<WatchLine, String> {
    Ok(match parse::<Streamed<WatchAnswer>>(json)? {
        Streamed { result: Some(answer), .. } if answer.canceled => WatchLine::Ended(answer.cancel_reason),
        Streamed { result: Some(answer), .. } if answer.events.is_empty() => WatchLine::Quiet,
        Streamed { result: Some(_), .. } => WatchLine::Changed,
        Streamed { error, .. } => WatchLine::Ended(error.unwrap_or_default().message),
    })
}

/// Reads the answer to a user's name and password.
pub(super) fn token(json: &[u8]) -> Result<String, String> {
    parse(json).map(|TokenAnswer { token }| token)
}

/// Why etcd refuses; empty where it does not say.
pub(super) fn refusal(json: &[u8]) -> String {
    match parse::<Refusal>(json) {
        Ok(Refusal { message, error }) if message.is_empty() => error,
        Ok(Refusal { message, .. }) => message,
        Err(_) => String::new(),
    }
}

fn lease(answer: &LeaseAnswer) -> Result<Lease, String> {
    Ok(Lease { id: number(&answer.id)?, ttl_s: u64::try_from(number(&answer.ttl)?).unwrap_or(0) })
}

/// A number; none is zero.
fn number(text: &str) -> Result<i64, String> {
    if text.is_empty() { Ok(0) } else { text.parse().map_err(|_| format!("{text:?} is no number")) }
}

fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, String> {
    serde_json::from_slice(json).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn answers_are_read() {
        let json = br#"{"header":{"revision":"5"},"kvs":[{"key":"L2E=","value":"Yg=="},{"key":"L2M="}],"count":"2"}"#;
        let pairs = vec![(b"/a".to_vec(), b"b".to_vec()), (b"/c".to_vec(), vec![])];
        assert_eq!(entries(json), Ok(Entries { revision: 5, pairs, more: false }));
        assert_eq!(entries(br#"{"header":{}}"#), Ok(Entries::default()));
        assert!(entries(br#"{"header":{},"kvs":[{"key":"!"}]}"#).is_err());
        assert_eq!(granted(br#"{"header":{},"ID":"7","TTL":"15"}"#), Ok(Lease { id: 7, ttl_s: 15 }));
        assert_eq!(renewed(br#"{"result":{"ID":"7"}}"#), Ok(Lease { id: 7, ttl_s: 0 }));
        assert_eq!(renewed(br#"{"error":{"message":"no leader"}}"#), Err("no leader".to_owned()));
        assert_eq!(watch_line(br#"{"result":{"header":{},"created":true}}"#), Ok(WatchLine::Quiet));
        assert_eq!(
            watch_line(br#"{"result":{"events":[{"type":"DELETE","kv":{}}]}}"#),
            Ok(WatchLine::Changed)
        );
        let compacted = br#"{"result":{"canceled":true,"compact_revision":"9","cancel_reason":"old"}}"#;
        assert_eq!(watch_line(compacted), Ok(WatchLine::Ended("old".to_owned())));
        assert_eq!(watch_line(b"{}"), Ok(WatchLine::Ended(String::new())));
        assert_eq!(refusal(br#"{"error":"a","code":3}"#), "a");
        assert_eq!(refusal(br#"{"error":"a","message":"b"}"#), "b");
        assert_eq!(refusal(b"<html>"), "");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, text in "[\\[\\]{}:,\"a-zA-Z0-9=]{0,60}") {
            for json in [bytes.as_slice(), text.as_bytes()] {
                let _ = (entries(json), granted(json), renewed(json), watch_line(json), token(json), refusal(json));
            }
        }
    }
}
