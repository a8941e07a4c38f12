//! Any frame is a message that encodes to itself, or is refused; and whatever it is, neither end of a session panics.

#![no_main]

use std::sync::OnceLock;
use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use phalanx_base::{Boot, Fence, Generation, NodeId};
use phalanx_jobs::wire::{Frame, Message, Opening, TransferEnd, TransferReply, rule};
use phalanx_jobs::{Admitted, Config, LinkId, Session, Side};

fuzz_target!(|input: (u8, &[u8])| {
    let (kind, body) = input;
    let frame = Frame { kind, body: body.to_vec().into() };
    if let Ok(message) = Message::from_frame(&frame) {
        assert_eq!(message.kind() as u8, kind);
        let again = message.to_frame();
        assert_eq!(Message::from_frame(&again).as_ref(), Ok(&message));
        assert_eq!(Message::from_frame(&again).map(|message| message.to_frame()), Ok(again));
    }
    if let Ok(opening) = Opening::from_frame(&frame) {
        assert_eq!(Opening::from_frame(&opening.to_frame()), Ok(opening));
    }
    if let Ok(end) = TransferEnd::from_frame(&frame) {
        assert_eq!(TransferEnd::from_frame(&end.to_frame()), Ok(end));
    }
    if let Ok(reply) = TransferReply::from_frame(&frame) {
        assert_eq!(TransferReply::from_frame(&reply.to_frame()), Ok(reply));
    }
    for side in [Side::Control, Side::Worker] {
        admit(side, &frame);
    }
});

/// What a session lets through is a message of that kind, within its cap, and under the present fence if it needs one.
fn admit(side: Side, frame: &Frame) {
    static START: OnceLock<Instant> = OnceLock::new();
    let now = *START.get_or_init(Instant::now);
    let Ok(node) = NodeId::new("peer") else { return };
    let peer = Boot { node: node.clone(), generation: Generation::from_u64(1) };
    let mut session = Session::new(now, side, peer, &node, (LinkId(1), false), &Config::default());
    session.grant(now, Fence(1));
    let Some(rule) = rule(frame.kind) else { return };
    if let Ok(Admitted::Message(message)) = session.admit(now, rule.lane, frame) {
        assert_eq!(message.kind(), rule.kind);
        assert!(frame.body.len() <= rule.bytes_max);
        assert!(!rule.fenced || message.fence() == Some(Fence(1)));
    }
}
