//! Finds control nodes as a node that starts would, and says what was asked for it:
//! `cargo run --example find -- localhost 10.0.0.5:7001 'example.org;discover=srv'`.

use phalanx_discovery::{Discover, DiscoverContext, Journal, StrategyAddress};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut given: Vec<String> = std::env::args().skip(1).collect();
    if given.is_empty() {
        given = ["localhost", "10.0.0.5:7001,[::1]"].map(str::to_owned).into();
    }
    for text in given {
        let strategy = text.parse::<StrategyAddress>()?.strategy()?;
        let journal = Journal::default();
        let found = strategy.find(&DiscoverContext::system().with_journal(journal.clone())).await;
        println!("{text}");
        for attempt in journal.attempts() {
            let lines = attempt.outcome.unwrap_or_else(|reason| vec![format!("({reason})")]);
            for line in lines {
                println!("  {:<5} {:<32} {line}", attempt.kind, attempt.name);
            }
        }
        match found {
            Ok(found) => {
                for candidate in &found {
                    println!("  found {:<32} {}", candidate.socket.to_string(), candidate.address);
                }
            }
            Err(error) => println!("  {error}"),
        }
        println!("  next look in {}", strategy.refresh());
    }
    Ok(())
}
