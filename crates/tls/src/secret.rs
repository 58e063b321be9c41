//! Key material.

use rustls::Error;
use zeroize::Zeroize as _;

/// Up to `MAX` bytes that are zeroed when they are dropped. They can be neither printed nor cloned.
pub(super) struct Secret<const MAX: usize> {
    bytes: [u8; MAX],
    len: u8,
}

impl<const MAX: usize> Secret<MAX> {
    /// A copy of `bytes`.
    ///
    /// # Errors
    /// When there are more than `MAX` of them.
    pub(super) fn new(bytes: &[u8]) -> Result<Self, Error> {
        Self::made(bytes.len(), |room| {
            room.copy_from_slice(bytes);
            Ok(())
        })
    }

    /// `len` bytes, which `make` writes.
    ///
    /// # Errors
    /// When `len` is more than `MAX`, and those of `make`.
    pub(super) fn made(len: usize, make: impl FnOnce(&mut [u8]) -> Result<(), Error>) -> Result<Self, Error> {
        let too_long = || Error::General(format!("a secret of {len} bytes, more than {MAX}"));
        let mut secret = Self {
            bytes: [0; MAX],
            len: u8::try_from(len).map_err(|_| too_long())?,
        };
        make(secret.bytes.get_mut(..len).ok_or_else(too_long)?)?;
        Ok(secret)
    }

    /// The bytes, for cryptography only.
    pub(super) fn expose(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl<const MAX: usize> Drop for Secret<MAX> {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}
