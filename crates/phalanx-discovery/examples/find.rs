//! Finds the sockets behind addresses, as a node that starts would: `cargo run --example find -- localhost
//! 10.0.0.5:7001`.

use phalanx_discovery::{Discover, StaticPeers, SystemResolver};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let text = if given.is_empty() { "localhost, 10.0.0.5:7001, [::1]".to_owned() } else { given.join(",") };
    let peers = StaticPeers::parse(&text)?;
    println!("given:");
    for address in peers.addresses() {
        println!("  {address}");
    }
    match peers.find(&SystemResolver::new()).await {
        Ok(found) => {
            println!("found {}:", found.len());
            for candidate in &found {
                println!("  {:<28} {}", candidate.socket.to_string(), candidate.address);
            }
        }
        Err(error) => println!("{error}"),
    }
    println!("next look-up in {:?}", peers.refresh_interval());
    Ok(())
}
