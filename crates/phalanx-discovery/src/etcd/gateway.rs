//! Requests to the gateway of etcd: one member after the other until one answers, as a user where there is one.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use phalanx_base::Host;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::Etcd;
use super::error::AskError;
use super::key::Range;
use super::messages::{self, Entries, Lease, encode};
use crate::http::{self, HttpError, Lines, quoted, read_secret, transfer, whole_body};
use crate::{Attempt, DiscoverContext};

/// The most keys of a range: far more than there are control nodes, so that some strangers hide none.
const ENTRIES_MAX: u64 = 1_024;

/// The most bytes of an answer: that many records of the usual length ten times over, or a few values of the greatest
/// length that etcd allows.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// The most bytes of an answer that says what failed.
const REFUSAL_BYTES_MAX: usize = 64 << 10;

/// The most bytes of a line of a watch; what is longer ends the watch, and a range says what is true.
const LINE_BYTES_MAX: usize = 4 << 20;

/// The way to etcd for one look-up, one watch or one renewal.
pub(super) struct Gateway<'a> {
    etcd: &'a Etcd,
    context: &'a DiscoverContext,
    client: Client,
}

/// A request: where to, what, and for people to read.
struct Question<'a> {
    path: &'static str,
    body: &'a Value,
    verb: &'static str,
    key: &'a str,
}

/// Why one member gave no answer.
enum Failure {
    /// Another one may.
    Member(String),
    /// Any other would say the same.
    All(AskError),
}

/// What is wanted of an answer: all of it, or its lines.
trait Shape: Sized {
    fn of(response: Response) -> impl Future<Output = Result<Self, HttpError>> + Send;
}

impl Shape for Vec<u8> {
    async fn of(mut response: Response) -> Result<Self, HttpError> {
        whole_body(&mut response, ANSWER_BYTES_MAX).await
    }
}

impl Shape for Lines {
    async fn of(response: Response) -> Result<Self, HttpError> {
        Ok(Lines::new(response, LINE_BYTES_MAX))
    }
}

impl<'a> Gateway<'a> {
    /// Reads the files; asks nobody.
    pub(super) fn open(etcd: &'a Etcd, context: &'a DiscoverContext) -> Result<Self, AskError> {
        Ok(Self { etcd, context, client: http::client(context, &etcd.tls)? })
    }

    /// All keys of a range, and the member that said so.
    pub(super) async fn range(&self, range: &Range) -> Result<(String, Entries), AskError> {
        let key = &range.key;
        let body = json!({
            "key": encode(key.as_bytes()),
            "range_end": encode(&range.end),
            "limit": ENTRIES_MAX.to_string(),
        });
        let question = Question { path: "/v3/kv/range", body: &body, verb: "read", key };
        let (member, answer) = self.ask(&question, messages::entries).await?;
        if answer.more {
            self.etcd.too_many.call_once(|| {
                warn!(%key, "there are more keys than control nodes can be: choose another prefix");
            });
        }
        Ok((member, answer))
    }

    /// Whether a key is there.
    pub(super) async fn exists(&self, key: &str) -> Result<bool, AskError> {
        let body = json!({"key": encode(key.as_bytes()), "keys_only": true});
        let question = Question { path: "/v3/kv/range", body: &body, verb: "read", key };
        Ok(!self.ask(&question, messages::entries).await?.1.pairs.is_empty())
    }

    /// Sets a key under a lease.
    pub(super) async fn put(&self, key: &str, value: &[u8], lease: i64) -> Result<(), AskError> {
        let body = json!({"key": encode(key.as_bytes()), "value": encode(value), "lease": lease.to_string()});
        let question = Question { path: "/v3/kv/put", body: &body, verb: "write", key };
        self.ask(&question, |_| Ok(())).await.map(|_| ())
    }

    /// A new lease.
    pub(super) async fn grant(&self) -> Result<Lease, AskError> {
        let body = json!({"TTL": self.etcd.ttl.as_secs().to_string()});
        let question = Question { path: "/v3/lease/grant", body: &body, verb: "grant", key: "a lease" };
        Ok(self.ask(&question, messages::granted).await?.1)
    }

    /// Renews a lease; its time to live is zero where there is none.
    pub(super) async fn renew(&self, lease: i64) -> Result<Lease, AskError> {
        let body = json!({"ID": lease.to_string()});
        let question = Question { path: "/v3/lease/keepalive", body: &body, verb: "renew", key: "a lease" };
        Ok(self.ask(&question, messages::renewed).await?.1)
    }

    /// Takes a lease back, and its keys with it.
    pub(super) async fn revoke(&self, lease: i64) -> Result<(), AskError> {
        let body = json!({"ID": lease.to_string()});
        let question = Question { path: "/v3/lease/revoke", body: &body, verb: "revoke", key: "a lease" };
        self.ask(&question, |_| Ok(())).await.map(|_| ())
    }

    /// Begins to watch a range after a revision.
    pub(super) async fn watch(&self, range: &Range, revision: i64) -> Result<Lines, AskError> {
        let create = json!({
            "key": encode(range.key.as_bytes()),
            "range_end": encode(&range.end),
            "start_revision": revision.saturating_add(1).to_string(),
        });
        let body = json!({"create_request": create});
        let question = Question { path: "/v3/watch", body: &body, verb: "read", key: &range.key };
        Ok(self.ask_each(&question, |lines: Lines| Ok(lines)).await?.1)
    }

    /// Asks for an answer that is read as a whole.
    async fn ask<T>(
        &self,
        question: &Question<'_>,
        read: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Result<(String, T), AskError> {
        self.ask_each(question, |body: Vec<u8>| read(&body)).await
    }

    /// Asks one member after the other until one answers what can be read.
    async fn ask_each<S: Shape, T>(
        &self,
        question: &Question<'_>,
        read: impl Fn(S) -> Result<T, String>,
    ) -> Result<(String, T), AskError> {
        let mut failures = Vec::new();
        for (number, (host, port)) in self.etcd.endpoints() {
            let member = format!("{}://{host}:{port}", self.etcd.scheme());
            let answer =
                timeout(self.etcd.request_time_max, self.ask_one::<S>(&member, host, question)).await;
            let late = || Failure::Member(format!("nothing within {:?}", self.etcd.request_time_max));
            let answer = answer.unwrap_or_else(|_| Err(late()));
            let answer = answer.and_then(|answer| read(answer).map_err(Failure::Member));
            let failure = match answer {
                Ok(answer) => return Ok((member, answer)),
                Err(failure) => failure,
            };
            self.context.tried(|| Attempt {
                kind: "etcd",
                name: format!("{member}{} {} {}", question.path, question.verb, question.key),
                outcome: Err(match &failure {
                    Failure::Member(reason) => reason.clone(),
                    Failure::All(error) => error.to_string(),
                }),
            });
            match failure {
                Failure::Member(reason) => {
                    // The next request begins with who answers now, also where this one is given up before.
                    self.etcd.preferred.store(number + 1, Ordering::Relaxed);
                    failures.push(format!("{member}: {reason}"));
                }
                Failure::All(error) => return Err(error),
            }
        }
        Err(AskError::Unreachable(failures.join("; ")))
    }

    /// Asks one member; with a new token if it refuses the one there is.
    async fn ask_one<S: Shape>(
        &self,
        member: &str,
        host: &Host,
        question: &Question<'_>,
    ) -> Result<S, Failure> {
        let mut token = self.token();
        if token.is_none() {
            token = self.authenticate(member, host).await?;
        }
        let mut response = self.post(member, question.path, question.body, token.as_deref()).await?;
        if !response.status().is_success() {
            let mut refusal = Refusal::of(response).await;
            if self.etcd.user.is_some() && refusal.is_for_token() {
                token = self.authenticate(member, host).await?;
                response = self.post(member, question.path, question.body, token.as_deref()).await?;
                if response.status().is_success() {
                    return Ok(S::of(response).await?);
                }
                refusal = Refusal::of(response).await;
            }
            return Err(refusal.failure(question));
        }
        Ok(S::of(response).await?)
    }

    async fn post(
        &self,
        member: &str,
        path: &str,
        body: &Value,
        token: Option<&str>,
    ) -> Result<Response, Failure> {
        let mut request = self.client.post(format!("{member}{path}"));
        request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        if let Some(token) = token {
            let mut value = HeaderValue::from_str(token)
                .map_err(|_| Failure::Member("it gave a token that is none".to_owned()))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        Ok(request.send().await.map_err(transfer)?)
    }

    /// A new token of the user, which is kept; none where etcd asks for no user.
    async fn authenticate(&self, member: &str, host: &Host) -> Result<Option<String>, Failure> {
        let Some((name, password_file)) = &self.etcd.user else { return Ok(None) };
        let password = read_secret(password_file).map_err(|error| Failure::All(error.into()))?;
        if self.etcd.scheme() == "http" && !host.ip().is_some_and(|ip| ip.is_loopback()) {
            warn!(%member, "a password goes to etcd over plain HTTP, for others to read: give ca-file");
        }
        let body = json!({"name": name, "password": password});
        let mut response = self.post(member, "/v3/auth/authenticate", &body, None).await?;
        let token = if response.status().is_success() {
            let body = whole_body(&mut response, REFUSAL_BYTES_MAX).await?;
            Some(messages::token(&body).map_err(|_| Failure::Member("it gave no token".to_owned()))?)
        } else {
            let refusal = Refusal::of(response).await;
            if !refusal.is_of_etcd || refusal.status >= 500 {
                return Err(Failure::Member(format!("{}: {}", refusal.status, refusal.message)));
            }
            if !refusal.message.contains("authentication is not enabled") {
                return Err(Failure::All(AskError::Unauthorized(refusal.message)));
            }
            debug!(%member, "etcd asks for no user");
            None
        };
        self.etcd.token.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&token);
        Ok(token)
    }

    fn token(&self) -> Option<String> {
        self.etcd.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        Self::Member(error.to_string())
    }
}

/// What a member says instead of an answer.
struct Refusal {
    status: u16,
    message: String,
    /// Whether etcd itself says so, and not some other server in its place.
    is_of_etcd: bool,
}

impl Refusal {
    async fn of(mut response: Response) -> Self {
        let status = response.status();
        let body = whole_body(&mut response, REFUSAL_BYTES_MAX).await.unwrap_or_default();
        let mut message = quoted(&messages::refusal(&body));
        let is_of_etcd = !message.is_empty();
        if !is_of_etcd {
            message = status.canonical_reason().unwrap_or("no reason given").to_owned();
        }
        Self { status: status.as_u16(), message, is_of_etcd }
    }

    /// Whether a new token may help: this one has run out, or was lost with a restart, or users have changed.
    fn is_for_token(&self) -> bool {
        let texts = ["invalid auth token", "auth store is old", "user name is empty"];
        self.status == 401 || texts.iter().any(|text| self.message.contains(text))
    }

    fn failure(self, question: &Question<'_>) -> Failure {
        let Self { status, message, is_of_etcd } = self;
        if !is_of_etcd || status >= 500 || status == 408 || status == 429 {
            return Failure::Member(format!("{status}: {message}"));
        }
        Failure::All(match status {
            _ if message.contains("user name is empty") => AskError::NoUser,
            401 => AskError::Unauthorized(message),
            403 => AskError::Forbidden { verb: question.verb, key: question.key.to_owned() },
            status => AskError::Refused { status, message },
        })
    }
}
