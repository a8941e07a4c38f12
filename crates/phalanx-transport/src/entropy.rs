//! The real source of randomness: the operating system's, through ring.

use phalanx_base::Entropy;
use ring::rand::{SecureRandom, SystemRandom};

/// Randomness from the operating system.
#[derive(Debug, Clone)]
pub struct SystemEntropy(SystemRandom);

impl SystemEntropy {
    /// Opens the operating system's source.
    #[must_use]
    pub fn new() -> Self {
        Self(SystemRandom::new())
    }
}

impl Default for SystemEntropy {
    fn default() -> Self {
        Self::new()
    }
}

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.fill(bytes).expect(
            "every system that we support has a random source, and without one no secret can be kept",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ() {
        let entropy = SystemEntropy::new();
        assert_ne!(entropy.bits128(), entropy.bits128());
    }
}
