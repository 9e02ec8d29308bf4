//! The bearer token.

use std::fmt;

use subtle::ConstantTimeEq;

use crate::error::RpcError;

/// The secret that lets its holder have the node sign. Compared in constant time, never shown.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Shortest token: 16 characters of hexadecimal carry 64 bits, too many to be guessed over a network.
    pub const LENGTH_MIN: usize = 16;
    /// Longest token, so that headers stay small.
    pub const LENGTH_MAX: usize = 256;

    /// Takes a token.
    ///
    /// # Errors
    /// `BadToken` when it is too short or long, or has other characters than visible ASCII.
    pub fn new(text: impl Into<String>) -> Result<Self, RpcError> {
        let text = text.into();
        if text.len() < Self::LENGTH_MIN || text.len() > Self::LENGTH_MAX {
            return Err(RpcError::BadToken { reason: "use 16 to 256 characters" });
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(RpcError::BadToken {
                reason: "use letters, digits and signs of ASCII, without spaces",
            });
        }
        Ok(Self(text))
    }

    /// Makes a token of 32 random bytes.
    pub fn random() -> Self {
        Self(hex::encode(rand::random::<[u8; 32]>()))
    }

    /// Whether `offered` is this token. Takes a time that depends on the lengths only.
    pub fn matches(&self, offered: &str) -> bool {
        self.0.as_bytes().ct_eq(offered.as_bytes()).into()
    }

    /// The secret, for the file that keeps it and the header that carries it.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_matches_itself_only_and_is_not_shown() {
        let token = Token::new("0123456789abcdef").unwrap();
        assert!(token.matches("0123456789abcdef"));
        assert!(!token.matches("0123456789abcdeg"));
        assert!(!token.matches("0123456789abcde"));
        assert!(!token.matches(""));
        assert_eq!(format!("{token:?}"), "Token(..)");
        assert_ne!(Token::random().secret(), Token::random().secret());
    }

    #[test]
    fn weak_or_unprintable_tokens_are_refused() {
        assert!(Token::new("short").is_err());
        assert!(Token::new("0123456789 abcdef").is_err());
        assert!(Token::new("x".repeat(257)).is_err());
    }
}
