//! The keys of one direction (RFC 8446 sections 5.2, 5.3 and 7.3).

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey,
};
use aws_lc_rs::hkdf::{self, HKDF_SHA256, HKDF_SHA384, KeyType, Prk};
use rustls::{CipherSuite, Error};

use super::contexts::{Contexts, KeyId};
use super::secret::Secret;
use super::tap::TrafficSecret;

/// Of the longest key, in bytes.
const MAX_KEY: usize = 32;

/// What a cipher suite of TLS 1.3 is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts {
    aead: &'static Algorithm,
    hash: hkdf::Algorithm,
}

impl Parts {
    /// Those of `suite`.
    ///
    /// # Errors
    /// When this record layer does not have it.
    pub(super) fn of(suite: CipherSuite) -> Result<Self, Error> {
        let (aead, hash) = match suite {
            CipherSuite::TLS13_AES_128_GCM_SHA256 => (&AES_128_GCM, HKDF_SHA256),
            CipherSuite::TLS13_AES_256_GCM_SHA384 => (&AES_256_GCM, HKDF_SHA384),
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => (&CHACHA20_POLY1305, HKDF_SHA256),
            other => return Err(Error::General(format!("{other:?} has no record layer"))),
        };
        Ok(Self { aead, hash })
    }

    /// Length of its secrets in bytes: that of its hash.
    pub(super) fn hash_len(self) -> usize {
        self.hash.hmac_algorithm().digest_algorithm().output_len()
    }

    /// HKDF-Expand-Label without a context (section 7.1): as many bytes as `output` has.
    fn expand(self, secret: &TrafficSecret, label: &str, output: &mut [u8]) -> Result<(), Error> {
        const PREFIX: &str = "tls13 ";
        let failed = |_| Error::General(format!("HKDF cannot make {label:?}"));
        let [high, low] = (output.len() as u16).to_be_bytes();
        let info = [high, low, (PREFIX.len() + label.len()) as u8];
        let prk = Prk::new_less_safe(self.hash, secret.expose());
        let info = [&info[..], PREFIX.as_bytes(), label.as_bytes(), &[0]];
        let okm = prk.expand(&info, Length(output.len())).map_err(failed)?;
        okm.fill(output).map_err(failed)
    }
}

/// Of what is expanded.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// A key with its nonces, which count records, and the secret that both come from.
///
/// The context that seals and opens is the worker's: see [`Contexts`].
pub(super) struct TrafficKeys {
    secret: TrafficSecret,
    key: Secret<MAX_KEY>,
    iv: [u8; NONCE_LEN],
    /// Of the next record.
    sequence: u64,
    id: KeyId,
}

impl TrafficKeys {
    /// Keys that come from `secret`, and whose next record is number `sequence`.
    ///
    /// # Errors
    /// When `secret` is not of the hash of `parts`.
    pub(super) fn new(parts: Parts, secret: TrafficSecret, sequence: u64) -> Result<Self, Error> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let key = Secret::made(parts.aead.key_len(), |key| parts.expand(&secret, "key", key))?;
        let mut iv = [0; NONCE_LEN];
        parts.expand(&secret, "iv", &mut iv)?;
        Ok(Self {
            secret,
            key,
            iv,
            sequence,
            id: NEXT.fetch_add(1, Ordering::Relaxed),
        })
    }

    /// Changes to the keys that come after these (section 7.2).
    pub(super) fn renew(&mut self, parts: Parts, contexts: &mut Contexts) -> Result<(), Error> {
        let secret = Secret::made(self.secret.expose().len(), |next| {
            parts.expand(&self.secret, "traffic upd", next)
        })?;
        self.forget_context(contexts);
        *self = Self::new(parts, secret, 0)?;
        Ok(())
    }

    /// Drops the context of these keys.
    pub(super) fn forget_context(&self, contexts: &mut Contexts) {
        contexts.forget(self.id);
    }

    /// What makes the same keys again: the secret, and the number of the next record.
    pub(super) fn parts(&self) -> (&[u8], u64) {
        (self.secret.expose(), self.sequence)
    }

    /// How many records there have been.
    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Opens a record in place: what of `sealed` is content, its type and padding.
    ///
    /// # Errors
    /// [`Error::DecryptError`] when it was not sealed with these keys as this record.
    #[inline]
    pub(super) fn open<'a>(
        &mut self,
        parts: Parts,
        contexts: &mut Contexts,
        header: &[u8],
        sealed: &'a mut [u8],
    ) -> Result<&'a mut [u8], Error> {
        let nonce = self.next_nonce()?;
        self.context(parts, contexts)?
            .open_in_place(nonce, Aad::from(header), sealed)
            .map_err(|_| Error::DecryptError)
    }

    /// Seals `content` and behind it its type into `sealed`, which is as long as both and the tag.
    ///
    /// # Errors
    /// [`Error::EncryptError`] when `sealed` has another length, or the numbers are used up.
    #[inline]
    pub(super) fn seal(
        &mut self,
        parts: Parts,
        contexts: &mut Contexts,
        header: &[u8],
        (content, typ): (&[u8], u8),
        sealed: &mut [u8],
    ) -> Result<(), Error> {
        let Some((ciphertext, behind)) = sealed.split_at_mut_checked(content.len()) else {
            return Err(Error::EncryptError);
        };
        let nonce = self.next_nonce()?;
        self.context(parts, contexts)?
            .seal_out_of_place_scatter(nonce, Aad::from(header), content, ciphertext, &[typ], behind)
            .map_err(|_| Error::EncryptError)
    }

    #[inline(always)]
    fn context<'c>(&self, parts: Parts, contexts: &'c mut Contexts) -> Result<&'c LessSafeKey, Error> {
        contexts.get(self.id, || {
            let key = UnboundKey::new(parts.aead, self.key.expose());
            key.map(LessSafeKey::new)
                .map_err(|_| Error::General("a key of a wrong size".into()))
        })
    }

    /// The sequence number, in network order and padded on the left, xored with the IV. None is used twice: the numbers
    /// may not wrap (RFC 8446 section 5.3).
    fn next_nonce(&mut self) -> Result<Nonce, Error> {
        let sequence = self.sequence;
        let Some(next) = sequence.checked_add(1) else {
            return Err(Error::EncryptError);
        };
        self.sequence = next;
        let mut nonce = self.iv;
        for (byte, by) in nonce[NONCE_LEN - 8..].iter_mut().zip(sequence.to_be_bytes()) {
            *byte ^= by;
        }
        Ok(Nonce::assume_unique_for_key(nonce))
    }

    #[cfg(test)]
    pub(super) fn key_and_iv(&self) -> (&[u8], &[u8]) {
        (self.key.expose(), &self.iv)
    }
}

impl Drop for TrafficKeys {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.iv);
    }
}

impl fmt::Debug for TrafficKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrafficKeys")
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}
