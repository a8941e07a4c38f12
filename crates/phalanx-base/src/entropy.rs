//! The seam for randomness: the one way by which a random bit enters.

/// A source of random bytes, cryptographically strong in production and seeded in a simulation.
pub trait Entropy: Send + Sync + 'static {
    /// Fills the buffer with random bytes.
    fn fill(&self, bytes: &mut [u8]);

    /// Sixty-four random bits.
    fn bits64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A hundred and twenty-eight random bits.
    fn bits128(&self) -> u128 {
        let mut bytes = [0; 16];
        self.fill(&mut bytes);
        u128::from_le_bytes(bytes)
    }
}
