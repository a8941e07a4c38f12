//! Who a member is in gossip: one boot of a node, and how often that boot had to come back.
//!
//! It travels in every packet, so it holds no more than a peer needs to call the member; the rest is in the roster.
//! A restart is a new [`Generation`](phalanx_base::Generation); a member that was declared down by mistake keeps its
//! generation and raises its *gossip epoch*, because nothing but the failure detector has to forget about it.

use phalanx_base::{Address, Boot, NodeId, Role};
use serde::{Deserialize, Serialize};

/// Addresses whose text is longer stay out of the identity: three identities and a record share one datagram.
pub(crate) const IDENTITY_ADDRESS_BYTES_MAX: usize = 96;

/// A member as gossip names it. Two are equal when boot and gossip epoch are: address and role are luggage.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Identity {
    boot: Boot,
    gossip_epoch: u32,
    address: Option<Address>,
    role: Role,
}

impl Identity {
    /// The first identity of a boot.
    pub(crate) fn new(boot: Boot, address: Option<Address>) -> Self {
        let address = address.filter(|address| address.to_string().len() <= IDENTITY_ADDRESS_BYTES_MAX);
        Self { boot, gossip_epoch: 0, address, role: Role::Control }
    }

    /// The same without its luggage, where only the name counts.
    pub(crate) fn bare(&self) -> Self {
        Self { address: None, ..self.clone() }
    }

    pub(crate) fn boot(&self) -> &Boot {
        &self.boot
    }

    pub(crate) fn node(&self) -> &NodeId {
        &self.boot.node
    }

    pub(crate) fn gossip_epoch(&self) -> u32 {
        self.gossip_epoch
    }

    pub(crate) fn address(&self) -> Option<&Address> {
        self.address.as_ref()
    }

    pub(crate) fn role(&self) -> Role {
        self.role
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.boot == other.boot && self.gossip_epoch == other.gossip_epoch
    }
}

impl Eq for Identity {}

impl foca::Identity for Identity {
    type Addr = NodeId;

    fn renew(&self) -> Option<Self> {
        let gossip_epoch = self.gossip_epoch.checked_add(1)?;
        Some(Self { gossip_epoch, ..self.clone() })
    }

    fn addr(&self) -> NodeId {
        self.boot.node.clone()
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        (self.boot.generation, self.gossip_epoch) > (adversary.boot.generation, adversary.gossip_epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foca::Identity as _;
    use phalanx_base::Generation;

    fn identity(generation: u64) -> Identity {
        let node = NodeId::new("a").unwrap();
        Identity::new(Boot { node, generation: Generation::from_u64(generation) }, None)
    }

    #[test]
    fn a_renewal_raises_the_epoch_and_a_restart_beats_every_renewal() {
        let first = identity(1);
        let renewed = first.renew().unwrap();
        assert_eq!(renewed.boot(), first.boot());
        assert!(renewed.win_addr_conflict(&first) && !first.win_addr_conflict(&renewed));
        assert!(!first.win_addr_conflict(&first));
        assert!(identity(2).win_addr_conflict(&renewed));
        let last = Identity { gossip_epoch: u32::MAX, ..first };
        assert_eq!(last.renew(), None);
    }

    #[test]
    fn a_long_address_stays_out() {
        let long: Address = format!("{}.{}:1", "a".repeat(60), "b".repeat(60)).parse().unwrap();
        let short: Address = "a:1".parse().unwrap();
        let boot = identity(1).boot().clone();
        assert_eq!(Identity::new(boot.clone(), Some(long)).address(), None);
        assert_eq!(Identity::new(boot, Some(short.clone())).address(), Some(&short));
    }
}
