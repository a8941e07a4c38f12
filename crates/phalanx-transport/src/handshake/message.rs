//! The three messages of the handshake on the wire: a tag, then postcard.
//!
//! The layout of the hello is fixed for ever, since it is read before a version is agreed. A later version may
//! append to it: bytes after what we know are ignored here, and signed all the same, because the proofs cover the raw
//! bytes. The other two messages are exact.

use phalanx_base::{Boot, Generation, NodeId, Role};
use serde::{Deserialize, Serialize};

use super::error::{HandshakeError, Refusal, Step, WireRange};
use crate::trust::{LocalNode, SIGNATURE_BYTES, check_name};

/// The longest message: before a proof nobody may make us keep more.
pub const MESSAGE_BYTES_MAX: usize = 4096;
/// Length of the random part of a hello.
pub const NONCE_BYTES: usize = 32;

const HELLO: u8 = 1;
const PROOF: u8 = 2;
const VERDICT: u8 = 3;

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) wire: WireRange,
    pub(crate) cluster: String,
    pub(crate) node: NodeId,
    pub(crate) generation: Generation,
    pub(crate) role: Role,
    pub(crate) nonce: [u8; NONCE_BYTES],
}

impl Hello {
    pub(crate) fn new(local: &LocalNode, nonce: [u8; NONCE_BYTES]) -> Self {
        Self {
            wire: WireRange::SUPPORTED,
            cluster: local.cluster.clone(),
            node: local.boot.node.clone(),
            generation: local.boot.generation,
            role: local.role,
            nonce,
        }
    }

    pub(crate) fn boot(&self) -> Boot {
        Boot { node: self.node.clone(), generation: self.generation }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![HELLO])
            .expect("a hello is made of numbers and short texts, which postcard always writes")
    }

    fn decode(body: &[u8]) -> Option<Self> {
        let (hello, _later): (Self, _) = postcard::take_from_bytes(body).ok()?;
        check_name(&hello.cluster).is_ok().then_some(hello)
    }
}

/// Whether the acceptor takes the dialler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Verdict {
    /// The link is live.
    Admitted,
    /// It is not, and why.
    Refused(Refusal),
}

impl Verdict {
    pub(crate) fn encode(self) -> Vec<u8> {
        postcard::to_extend(&self, vec![VERDICT])
            .expect("a verdict is made of numbers, which postcard always writes")
    }
}

/// The proof as it travels.
pub(crate) fn encode_proof(signature: &[u8; SIGNATURE_BYTES]) -> Vec<u8> {
    [&[PROOF], signature.as_slice()].concat()
}

/// A message as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    Hello(Hello),
    Proof([u8; SIGNATURE_BYTES]),
    Verdict(Verdict),
}

impl Message {
    /// Reads a message where `expected` is due. The tag is looked at first, so that nothing else is ever decoded.
    pub(crate) fn decode(bytes: &[u8], expected: Step) -> Result<Self, HandshakeError> {
        let malformed = HandshakeError::Malformed { expected };
        let (tag, body) = match bytes.split_first() {
            Some((tag, body)) if bytes.len() <= MESSAGE_BYTES_MAX => (*tag, body),
            _ => return Err(malformed),
        };
        let found = match tag {
            HELLO => Step::Hello,
            PROOF => Step::Proof,
            VERDICT => Step::Verdict,
            _ => return Err(malformed),
        };
        if found != expected {
            return Err(HandshakeError::OutOfOrder { expected, found });
        }
        match found {
            Step::Hello => Hello::decode(body).map(Self::Hello),
            Step::Proof => body.try_into().ok().map(Self::Proof),
            Step::Verdict => exactly(body).map(Self::Verdict),
        }
        .ok_or(malformed)
    }
}

fn exactly<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Option<T> {
    postcard::take_from_bytes(body).ok().and_then(|(value, rest)| rest.is_empty().then_some(value))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn hello(cluster: &str, node: &str, role: Role) -> Hello {
        let boot =
            Boot { node: NodeId::new(node).unwrap(), generation: Generation::from_u64(0x1234_5678_9abc) };
        Hello::new(&LocalNode { cluster: cluster.into(), boot, role }, [7; NONCE_BYTES])
    }

    /// The bytes of version 1. They never change; another layout would be another message.
    #[test]
    fn the_wire_format_is_pinned() {
        let mut expected = vec![1, 1, 1, 5];
        expected.extend(b"media\x08camera-7");
        expected.extend([0xbc, 0xb5, 0xe2, 0xb3, 0xc5, 0xc6, 0x04, 1]);
        expected.extend([7; NONCE_BYTES]);
        assert_eq!(hello("media", "camera-7", Role::Worker).encode(), expected);
        assert_eq!(encode_proof(&[9; SIGNATURE_BYTES]), [vec![2], vec![9; SIGNATURE_BYTES]].concat());
        assert_eq!(Verdict::Admitted.encode(), [3, 0]);
        let stale = Verdict::Refused(Refusal::Stale { known: Generation::from_u64(300) });
        assert_eq!(stale.encode(), [3, 1, 0, 0xac, 0x02]);
        assert_eq!(Verdict::Refused(Refusal::Busy).encode(), [3, 1, 1]);
        assert_eq!(Verdict::Refused(Refusal::Myself).encode(), [3, 1, 2]);
    }

    #[test]
    fn a_later_hello_may_be_longer_and_the_rest_is_exact() {
        let hello = hello("media", "camera-7", Role::Control);
        let longer = [hello.encode(), vec![1, 2, 3]].concat();
        assert_eq!(Message::decode(&longer, Step::Hello), Ok(Message::Hello(hello)));
        let long_verdict = [Verdict::Admitted.encode(), vec![0]].concat();
        let malformed = HandshakeError::Malformed { expected: Step::Verdict };
        assert_eq!(Message::decode(&long_verdict, Step::Verdict), Err(malformed));
        let too_long = [longer, vec![0; MESSAGE_BYTES_MAX]].concat();
        let malformed = HandshakeError::Malformed { expected: Step::Hello };
        assert_eq!(Message::decode(&too_long, Step::Hello), Err(malformed));
    }

    #[test]
    fn names_of_strangers_are_checked() {
        let mut bad = hello("media", "camera-7", Role::Control);
        bad.cluster = "a\nb".into();
        let malformed = HandshakeError::Malformed { expected: Step::Hello };
        assert_eq!(Message::decode(&bad.encode(), Step::Hello), Err(malformed));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(tag in 0_u8..5, body: Vec<u8>, step in 0_usize..3) {
            let expected = [Step::Hello, Step::Proof, Step::Verdict][step];
            let _ = Message::decode(&[vec![tag], body].concat(), expected);
        }
    }
}
