//! The keys of one direction (RFC 8446 sections 5.2 and 5.3).

use std::fmt;

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey,
};
use rustls::{ConnectionTrafficSecrets, Error};

/// An AEAD key with its nonces, which count records.
pub(super) struct TrafficKeys {
    key: LessSafeKey,
    iv: [u8; NONCE_LEN],
    /// Of the next record.
    sequence: u64,
}

impl TrafficKeys {
    /// Keys whose next record is number `sequence`.
    pub(super) fn new((sequence, secrets): (u64, ConnectionTrafficSecrets)) -> Result<Self, Error> {
        use ConnectionTrafficSecrets::{Aes128Gcm, Aes256Gcm, Chacha20Poly1305};
        let (algorithm, key, iv) = match &secrets {
            Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
            Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
            Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv),
            _ => return Err(Error::General("a cipher suite without a record layer".into())),
        };
        Self::of(algorithm, key.as_ref(), iv.as_ref(), sequence)
    }

    /// The same of parts.
    pub(super) fn of(algorithm: &'static Algorithm, key: &[u8], iv: &[u8], sequence: u64) -> Result<Self, Error> {
        let key = UnboundKey::new(algorithm, key).map_err(|_| Error::General("a key of a wrong size".into()))?;
        let iv = iv.try_into();
        Ok(Self {
            key: LessSafeKey::new(key),
            iv: iv.map_err(|_| Error::General("an IV of a wrong size".into()))?,
            sequence,
        })
    }

    /// How many records there have been.
    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Opens a record in place: what of `sealed` is content, its type and padding.
    ///
    /// # Errors
    /// [`Error::DecryptError`] when it was not sealed with these keys as this record.
    pub(super) fn open<'a>(&mut self, header: &[u8], sealed: &'a mut [u8]) -> Result<&'a mut [u8], Error> {
        let nonce = self.next_nonce()?;
        self.key
            .open_in_place(nonce, Aad::from(header), sealed)
            .map_err(|_| Error::DecryptError)
    }

    /// Seals `content` and behind it its type into `sealed`, which is as long as both and the tag.
    ///
    /// # Errors
    /// [`Error::EncryptError`] when `sealed` has another length, or the numbers are used up.
    pub(super) fn seal(&mut self, header: &[u8], content: &[u8], typ: u8, sealed: &mut [u8]) -> Result<(), Error> {
        let (ciphertext, behind) = sealed.split_at_mut_checked(content.len()).ok_or(Error::EncryptError)?;
        let nonce = self.next_nonce()?;
        self.key
            .seal_out_of_place_scatter(nonce, Aad::from(header), content, ciphertext, &[typ], behind)
            .map_err(|_| Error::EncryptError)
    }

    /// The sequence number, in network order and padded on the left, xored with the IV. None is used twice: the numbers
    /// may not wrap (RFC 8446 section 5.3).
    fn next_nonce(&mut self) -> Result<Nonce, Error> {
        let sequence = self.sequence;
        self.sequence = sequence.checked_add(1).ok_or(Error::EncryptError)?;
        let mut nonce = self.iv;
        for (byte, by) in nonce[NONCE_LEN - 8..].iter_mut().zip(sequence.to_be_bytes()) {
            *byte ^= by;
        }
        Ok(Nonce::assume_unique_for_key(nonce))
    }
}

impl fmt::Debug for TrafficKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrafficKeys")
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}
