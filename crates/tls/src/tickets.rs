//! Session tickets (RFC 8446 section 4.6.1): what a client comes back with, sealed with a key that only servers have.
//!
//! rustls makes such keys as well, and lets nobody have them. Here they can go to another process, or be those of a whole fleet.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk};
use aws_lc_rs::rand;
use rustls::Error;
use rustls::server::ProducesTickets;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::secret::Secret;

/// Bytes of a ticket key.
pub const TICKET_KEY: usize = 32;
/// Seconds for which a ticket can be used: half a day, as in rustls. RFC 8446 section 4.6.1 allows a week.
const LIFETIME: u64 = 12 * 60 * 60;
/// Seconds for which a key seals that was made here.
const ROTATION: u64 = LIFETIME / 2;
/// What a ticket begins with: it names the key.
const NAME: usize = 16;

/// A ticket key, and from when on it seals, in seconds since 1970.
struct TicketKey {
    from: u64,
    secret: Secret<TICKET_KEY>,
    name: [u8; NAME],
    context: RandomizedNonceKey,
}

impl TicketKey {
    fn new(from: u64, secret: &[u8; TICKET_KEY]) -> Result<Self, Error> {
        let mut key = Zeroizing::new([0; TICKET_KEY]);
        let mut name = [0; NAME];
        // The name is seen by everybody, so it must not be a part of the key.
        let prk = Prk::new_less_safe(HKDF_SHA256, secret);
        expand(&prk, b"headpin ticket key", &mut *key)?;
        expand(&prk, b"headpin ticket name", &mut name)?;
        Ok(Self {
            from,
            secret: Secret::new(secret)?,
            name,
            context: RandomizedNonceKey::new(&AES_256_GCM, &*key).map_err(failed)?,
        })
    }

    fn seal(&self, content: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = content.to_vec();
        let nonce = self
            .context
            .seal_in_place_append_tag(Aad::from(self.name), &mut sealed)
            .ok()?;
        Some([&self.name, &nonce.as_ref()[..], &sealed].concat())
    }

    fn open(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = ticket.get(NAME..)?.split_first_chunk::<NONCE_LEN>()?;
        let mut content = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let len = self
            .context
            .open_in_place(nonce, Aad::from(self.name), &mut content)
            .ok()?
            .len();
        content.truncate(len);
        Some(content)
    }
}

fn expand(prk: &Prk, label: &[u8], output: &mut [u8]) -> Result<(), Error> {
    struct Length(usize);
    impl KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let info = [label];
    let okm = prk.expand(&info, Length(output.len())).map_err(failed)?;
    okm.fill(output).map_err(failed)
}

fn failed(_: aws_lc_rs::error::Unspecified) -> Error {
    Error::General("a ticket key cannot be made".into())
}

/// Ticket keys in a form that another process can go on with. Whoever reads them can read the sessions of tickets.
#[derive(Serialize, Deserialize)]
pub struct TicketKeysState(Vec<(u64, Zeroizing<Vec<u8>>)>);

impl fmt::Debug for TicketKeysState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKeysState").field("keys", &self.0.len()).finish()
    }
}

/// The keys that tickets are sealed and opened with: in the order in which they begin to seal.
///
/// A key seals from its time to that of the next, and opens for as long as a ticket lives after that. So servers that have the same
/// keys agree, whatever the moment at which each has read them.
pub struct TicketKeys {
    keys: RwLock<Vec<Arc<TicketKey>>>,
    /// New ones are made here when the last has sealed for long enough.
    rotates: bool,
    now: fn() -> u64,
}

impl TicketKeys {
    /// One key that is made now; others follow by themselves.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn random() -> Result<Self, Error> {
        Self::random_at(unix_seconds)
    }

    fn random_at(now: fn() -> u64) -> Result<Self, Error> {
        Ok(Self {
            keys: RwLock::new(vec![Arc::new(random_key(now())?)]),
            rotates: true,
            now,
        })
    }

    /// These keys, each with the seconds since 1970 from which it seals.
    ///
    /// # Errors
    /// When there are none.
    pub fn fixed(keys: &[(u64, Zeroizing<[u8; TICKET_KEY]>)]) -> Result<Self, Error> {
        let made = keys
            .iter()
            .map(|(from, secret)| TicketKey::new(*from, secret).map(Arc::new));
        let mut made = made.collect::<Result<Vec<_>, Error>>()?;
        if made.is_empty() {
            return Err(Error::General("there is no ticket key".into()));
        }
        made.sort_by_key(|key| key.from);
        Ok(Self {
            keys: RwLock::new(made),
            rotates: false,
            now: unix_seconds,
        })
    }

    /// What another process needs to open the tickets of this one, and to seal as it would.
    #[must_use]
    pub fn state(&self) -> TicketKeysState {
        let keys = self.all();
        let state = keys
            .iter()
            .map(|key| (key.from, Zeroizing::new(key.secret.expose().to_vec())));
        TicketKeysState(state.collect())
    }

    /// Goes on with the keys of another process, in place of its own.
    ///
    /// # Errors
    /// When they are no keys; then nothing has changed.
    pub fn adopt(&self, state: &TicketKeysState) -> Result<(), Error> {
        let mut adopted = Vec::with_capacity(state.0.len());
        for (from, secret) in &state.0 {
            let secret = secret.as_slice().try_into();
            let secret = secret.map_err(|_| Error::General("a ticket key of a wrong length".into()))?;
            adopted.push(Arc::new(TicketKey::new(*from, secret)?));
        }
        if !adopted.is_empty() {
            adopted.sort_by_key(|key| key.from);
            *self.keys.write().unwrap_or_else(PoisonError::into_inner) = adopted;
        }
        Ok(())
    }

    fn all(&self) -> Vec<Arc<TicketKey>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The key that seals now.
    fn current(&self) -> Option<Arc<TicketKey>> {
        let now = (self.now)();
        let seals = |keys: &[Arc<TicketKey>]| {
            let begun = keys.iter().rfind(|key| key.from <= now);
            begun.or_else(|| keys.first()).cloned()
        };
        let current = seals(&self.keys.read().unwrap_or_else(PoisonError::into_inner));
        match &current {
            Some(key) if self.rotates && key.from + ROTATION <= now => {
                let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
                // Another handshake may have been first.
                if keys.last().is_none_or(|last| last.from + ROTATION <= now) {
                    // Without randomness the old one goes on, which is the lesser evil.
                    if let Ok(key) = random_key(now) {
                        keys.push(Arc::new(key));
                        let retired = (1..keys.len())
                            .take_while(|next| keys[*next].from + LIFETIME <= now)
                            .count();
                        keys.drain(..retired);
                    }
                }
                seals(&keys)
            }
            _ => current,
        }
    }

    /// The key that has sealed `ticket`, if that still opens.
    fn of(&self, ticket: &[u8]) -> Option<Arc<TicketKey>> {
        let (now, name) = ((self.now)(), ticket.get(..NAME)?);
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let at = keys.iter().position(|key| key.name == name)?;
        let retired = keys.get(at + 1).is_some_and(|next| next.from + LIFETIME <= now);
        (!retired).then(|| Arc::clone(&keys[at]))
    }
}

impl ProducesTickets for TicketKeys {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME as u32
    }

    fn encrypt(&self, content: &[u8]) -> Option<Vec<u8>> {
        self.current()?.seal(content)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.of(ticket)?.open(ticket)
    }
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKeys")
            .field("keys", &self.all().len())
            .finish_non_exhaustive()
    }
}

fn random_key(from: u64) -> Result<TicketKey, Error> {
    let mut secret = Zeroizing::new([0; TICKET_KEY]);
    rand::fill(&mut *secret).map_err(failed)?;
    TicketKey::new(from, &secret)
}

fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn fixed(keys: &[(u64, u8)]) -> TicketKeys {
        let keys: Vec<_> = keys
            .iter()
            .map(|(from, byte)| (*from, Zeroizing::new([*byte; TICKET_KEY])))
            .collect();
        TicketKeys::fixed(&keys).unwrap()
    }

    #[test]
    fn what_one_server_seals_another_with_the_same_keys_opens() {
        let [one, other] = [(); 2].map(|()| fixed(&[(0, 1)]));
        let ticket = one.encrypt(b"a session").unwrap();
        assert_eq!(other.decrypt(&ticket).unwrap(), b"a session");
        assert_ne!(
            one.encrypt(b"a session").unwrap(),
            ticket,
            "each has a nonce of its own"
        );
        assert_eq!(fixed(&[(0, 2)]).decrypt(&ticket), None);
    }

    #[test]
    fn a_ticket_that_was_changed_or_cut_does_not_open() {
        let keys = fixed(&[(0, 1)]);
        let ticket = keys.encrypt(b"a session").unwrap();
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(keys.decrypt(&changed), None, "byte {at}");
            assert_eq!(keys.decrypt(&ticket[..at]), None, "the first {at} bytes");
        }
    }

    #[test]
    fn a_key_seals_from_its_time_on_and_opens_as_long_as_its_tickets_live() {
        static NOW: AtomicU64 = AtomicU64::new(0);
        let at = |time| NOW.store(time, Ordering::Relaxed);
        let mut keys = fixed(&[(100_000, 2), (0, 1)]);
        keys.now = || NOW.load(Ordering::Relaxed);
        let [first, second] = [fixed(&[(0, 1)]), fixed(&[(0, 2)])];
        at(99_999);
        let old = keys.encrypt(b"old").unwrap();
        assert!(first.decrypt(&old).is_some());
        // A server whose clock is ahead has sealed with the next key.
        assert_eq!(keys.decrypt(&second.encrypt(b"new").unwrap()).unwrap(), b"new");
        at(100_000);
        assert!(second.decrypt(&keys.encrypt(b"new").unwrap()).is_some());
        at(100_000 + LIFETIME - 1);
        assert!(keys.decrypt(&old).is_some());
        at(100_000 + LIFETIME);
        assert!(keys.decrypt(&old).is_none());
    }

    #[test]
    fn keys_that_are_made_here_are_replaced_by_age() {
        static NOW: AtomicU64 = AtomicU64::new(1_000_000);
        let keys = TicketKeys::random_at(|| NOW.load(Ordering::Relaxed)).unwrap();
        let mut tickets = Vec::new();
        for rotation in 0..5 {
            NOW.store(1_000_000 + rotation * ROTATION, Ordering::Relaxed);
            tickets.push(keys.encrypt(b"a session").unwrap());
            let opens: Vec<_> = tickets.iter().map(|ticket| keys.decrypt(ticket).is_some()).collect();
            let living = opens.iter().rev().take_while(|opens| **opens).count();
            assert_eq!(
                living,
                opens.len().min(3),
                "half a day after the next one began: {opens:?}"
            );
            assert!(keys.all().len() <= 4, "no more are kept than can be asked for");
        }
    }

    #[test]
    fn another_process_goes_on_with_the_same_keys() {
        let [one, other] = [(); 2].map(|()| TicketKeys::random().unwrap());
        let ticket = one.encrypt(b"a session").unwrap();
        assert!(other.decrypt(&ticket).is_none());
        let sent = postcard::to_allocvec(&one.state()).unwrap();
        other.adopt(&postcard::from_bytes(&sent).unwrap()).unwrap();
        assert_eq!(other.decrypt(&ticket).unwrap(), b"a session");
        assert!(one.decrypt(&other.encrypt(b"later").unwrap()).is_some());
        assert!(
            other
                .adopt(&TicketKeysState(vec![(0, Zeroizing::new(vec![1; 31]))]))
                .is_err()
        );
        assert!(other.decrypt(&ticket).is_some(), "nothing has changed");
        assert!(!format!("{:?} {:?}", one, one.state()).contains("secret"));
    }
}
