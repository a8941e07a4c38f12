//! What the texts of addresses and labels mean, as two tables: `cargo run -p phalanx-base --example texts`.

use phalanx_base::{Address, Labels};

const ADDRESSES: [&str; 6] = [
    "10.0.0.5",
    "[2001:db8::5]:7100",
    "phalanx://Control-1.Example:7000;transport=quic",
    "http://10.0.0.5",
    "10.0.0.5:70000",
    "2001:db8::5",
];

const LABELS: [&str; 5] = [
    "camera;site=harbour;night, room;floor=1",
    "note;text=salt%2C pepper",
    "camera, camera;night",
    "lathe;speed=1;speed=2",
    "lathe=1",
];

fn main() {
    println!("{:<48} {:<20} {:<6} {:<10} socket", "address", "host", "port", "transport");
    for text in ADDRESSES {
        match text.parse::<Address>() {
            Ok(address) => print_address(text, &address),
            Err(error) => println!("{text:<48} {error}"),
        }
    }
    println!("\n{:<48} {:<8} {:<6} value", "labels", "item", "key");
    for text in LABELS {
        match text.parse::<Labels>() {
            Ok(labels) => print_labels(text, &labels),
            Err(error) => println!("{text:<48} {error}"),
        }
    }
}

fn print_address(text: &str, address: &Address) {
    let transport = address.transport().map_or("any", |transport| transport.as_str());
    let socket = address.socket_addr().map_or("once resolved".to_owned(), |socket| socket.to_string());
    println!("{text:<48} {:<20} {:<6} {transport:<10} {socket}", address.host(), address.port());
}

fn print_labels(text: &str, labels: &Labels) {
    // The text stands in the first line only.
    let mut text = text;
    for item in labels.items() {
        println!("{text:<48} {}", item.name());
        text = "";
        for (key, value) in item.keys() {
            println!("{text:<48} {:<8} {key:<6} {}", "", value.unwrap_or("-"));
        }
    }
}
