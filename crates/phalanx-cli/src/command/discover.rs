//! The command that shows what discovery finds, without a node.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use phalanx::{ClusterId, Credential, SystemEntropy};
use phalanx_base::TransportKind;
use phalanx_discovery::{
    Attempt, Candidate, Candidates, ClusterScope, Discover, DiscoverContext, Journal, StrategyAddress,
    SystemResolver,
};
use serde_json::{Value, json};

use crate::exit::{Exit, Failure};
use crate::output::{Format, FormatArguments, Table, print, print_json};
use crate::target::Membership;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Ways to find control nodes, as in the configuration of an agent
    #[arg(required = true, value_name = "ADDRESS")]
    addresses: Vec<StrategyAddress>,
    /// The name server to ask instead of the system's
    #[arg(long, value_name = "IP:PORT")]
    dns: Option<SocketAddr>,
    #[command(flatten)]
    membership: Membership,
    #[command(flatten)]
    format: FormatArguments,
}

impl Arguments {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let journal = Journal::default();
        let context = self.context()?.with_journal(journal.clone());
        let mut found = Candidates::default();
        let mut errors = Vec::new();
        for address in self.addresses {
            let strategy = address.strategy().map_err(Failure::usage)?;
            match strategy.find(&context).await {
                Ok(candidates) => found.extend(candidates),
                Err(error) => errors.push(error.to_string()),
            }
        }
        let found = Found { attempts: journal.attempts(), candidates: found };
        match self.format.output {
            Format::Json => print_json(&found.json())?,
            Format::Table => print(&found.text())?,
        }
        for error in &errors {
            eprintln!("phalanx: {error}");
        }
        if found.candidates.is_empty() {
            return Err(Failure::new(Exit::NotFound, "there is no address to dial"));
        }
        Ok(())
    }

    /// What the strategies are given: the cluster only where the name and the secret of one are.
    fn context(&self) -> Result<DiscoverContext, Failure> {
        let resolver = self.dns.map_or_else(SystemResolver::new, SystemResolver::with_server);
        let context = DiscoverContext::new(Arc::new(resolver), Arc::new(SystemEntropy::new()));
        let Some(cluster) = &self.membership.cluster else { return Ok(context) };
        let Some(secret) = self.membership.secret()? else { return Ok(context) };
        let credential = Credential::from(&secret);
        let id = ClusterId::derive(cluster, &credential).map_err(Failure::usage)?.to_string();
        let seal = credential.seal(cluster).map_err(Failure::usage)?;
        Ok(context.with_cluster(ClusterScope { id, seal }))
    }
}

/// What was asked, and what came of it.
struct Found {
    attempts: Vec<Attempt>,
    candidates: Candidates,
}

fn transport(candidate: &Candidate) -> TransportKind {
    candidate.address.transport().unwrap_or(TransportKind::Quic)
}

impl Found {
    fn json(&self) -> Value {
        let record = |attempt: &Attempt| {
            let (answers, error) = match &attempt.outcome {
                Ok(answers) => (answers.clone(), None),
                Err(error) => (Vec::new(), Some(error)),
            };
            json!({"kind": attempt.kind, "name": attempt.name, "answers": answers, "error": error})
        };
        let address = |candidate: &Candidate| {
            json!({
                "transport": transport(candidate).as_str(),
                "ip": candidate.socket.ip().to_string(),
                "port": candidate.socket.port(),
            })
        };
        json!({
            "records": self.attempts.iter().map(record).collect::<Vec<_>>(),
            "addresses": self.candidates.iter().map(address).collect::<Vec<_>>(),
        })
    }

    fn text(&self) -> String {
        let mut records = Table::new(&["ASKED", "NAME", "ANSWER"]);
        for attempt in &self.attempts {
            let row = |answer: String| [attempt.kind.to_owned(), attempt.name.clone(), answer];
            match &attempt.outcome {
                Ok(answers) if answers.is_empty() => records.row(row("nothing".to_owned())),
                Ok(answers) => answers.iter().for_each(|answer| records.row(row(answer.clone()))),
                Err(error) => records.row(row(format!("failed: {error}"))),
            }
        }
        let mut addresses = Table::new(&["DIAL", "TRANSPORT", "SOCKET"]);
        for (number, candidate) in self.candidates.iter().enumerate() {
            let transport = transport(candidate).as_str().to_owned();
            addresses.row([(number + 1).to_string(), transport, candidate.socket.to_string()]);
        }
        format!("{}\n{}", records.render(false), addresses.render(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Found {
        let attempt = |kind, name: &str, outcome: Result<&[&str], &str>| Attempt {
            kind,
            name: name.to_owned(),
            outcome: outcome
                .map(|answers| answers.iter().map(|answer| (*answer).to_owned()).collect())
                .map_err(str::to_owned),
        };
        let candidate = |text: &str, socket: &str| Candidate {
            address: text.parse().unwrap(),
            socket: socket.parse().unwrap(),
        };
        Found {
            attempts: vec![
                attempt("NAPTR", "media.example.", Err("no such name")),
                attempt(
                    "SRV",
                    "_phalanx._udp.media.example.",
                    Ok(&["0 5 7000 a.example.", "1 5 7000 b.example."]),
                ),
                attempt("AAAA", "a.example.", Ok(&[])),
            ],
            candidates: [
                candidate("a.example:7000", "10.0.0.1:7000"),
                candidate("b.example:7000;transport=tls", "[::1]:7000"),
            ]
            .into_iter()
            .collect(),
        }
    }

    #[test]
    fn the_json_form_is_stable() {
        insta::assert_snapshot!(format!("{:#}", found().json()));
    }

    #[test]
    fn the_text_names_every_record_and_the_order_of_dialling() {
        insta::assert_snapshot!(found().text());
    }
}
