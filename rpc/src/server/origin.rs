//! Keeping web pages out.
//!
//! A browser lets any page send requests to loopback addresses. It marks them with `Origin` or `Sec-Fetch-Site`, which a page
//! cannot forge; and a page whose own name was pointed at 127.0.0.1 (DNS rebinding) cannot hide that name in `Host`.

use std::net::IpAddr;

use axum::http::{HeaderMap, Request, header};

use crate::api::{ApiError, ErrorCode};

/// What a server is reached by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OriginRule {
    /// The address it is bound to.
    pub(crate) bound: IpAddr,
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
}

impl OriginRule {
    /// Checks host and origin of a request.
    ///
    /// # Errors
    /// `forbidden_origin`.
    pub(crate) fn check<B>(&self, request: &Request<B>) -> Result<(), ApiError> {
        let headers = request.headers();
        let host = match request.uri().authority() {
            Some(authority) => authority.as_str(),
            None => headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default(),
        };
        if self.bound.is_loopback() && !self.is_own_host(host) {
            return Err(forbidden(format!(
                "this server is for this machine only and does not serve the host `{}`; use http://localhost or its address",
                shorten(host)
            )));
        }
        self.check_origin(headers, host)
    }

    fn is_own_host(&self, host: &str) -> bool {
        let name = host_name(host);
        match name.parse::<IpAddr>() {
            Ok(address) => address.is_loopback() || address == self.bound,
            Err(_) => name.eq_ignore_ascii_case("localhost"),
        }
    }

    fn check_origin(&self, headers: &HeaderMap, host: &str) -> Result<(), ApiError> {
        let own = format!("{}://{host}", self.scheme);
        let foreign = headers
            .get_all(header::ORIGIN)
            .iter()
            .find(|origin| !origin.as_bytes().eq_ignore_ascii_case(own.as_bytes()));
        if let Some(origin) = foreign {
            let origin = String::from_utf8_lossy(origin.as_bytes()).into_owned();
            return Err(forbidden(format!(
                "requests from pages of {} are not served; call from a program or from a page of this server",
                shorten(&origin)
            )));
        }
        match headers.get("sec-fetch-site").map(|value| value.as_bytes()) {
            None | Some(b"same-origin" | b"none") => Ok(()),
            Some(_) => Err(forbidden("requests from pages of other sites are not served".to_owned())),
        }
    }
}

/// A host without its port and without the brackets of an IPv6 address.
fn host_name(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    host.split(':').next().unwrap_or_default()
}

fn forbidden(message: String) -> ApiError {
    ApiError::new(ErrorCode::ForbiddenOrigin, message)
}

/// Enough of a hostile text to recognise it.
fn shorten(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: OriginRule = OriginRule { bound: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), scheme: "http" };

    fn verdict(headers: &[(&str, &str)]) -> Result<(), ApiError> {
        let mut request = Request::builder().uri("/v1/status");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        RULE.check(&request.body(()).unwrap())
    }

    #[test]
    fn loopback_names_pass_and_all_others_do_not() {
        for host in ["localhost:8003", "127.0.0.1:8003", "127.1.2.3", "[::1]:8003", "LOCALHOST"] {
            verdict(&[("host", host)]).unwrap_or_else(|error| panic!("{host}: {error}"));
        }
        for host in
            ["evil.example:8003", "localhost.evil.example", "10.0.0.1", "", "127.0.0.1.evil.example", "[::2]"]
        {
            assert!(verdict(&[("host", host)]).is_err(), "{host}");
        }
    }

    #[test]
    fn only_the_own_origin_passes() {
        let host = ("host", "localhost:8003");
        verdict(&[host, ("origin", "http://localhost:8003")]).unwrap();
        verdict(&[host, ("sec-fetch-site", "same-origin")]).unwrap();
        for origin in ["http://evil.example", "https://localhost:8003", "http://localhost:9000", "null", ""] {
            let error = verdict(&[host, ("origin", origin)]).unwrap_err();
            assert_eq!(error.code, ErrorCode::ForbiddenOrigin, "{origin}");
        }
        assert!(verdict(&[host, ("sec-fetch-site", "cross-site")]).is_err());
    }

    #[test]
    fn a_server_for_others_serves_any_host_name_but_no_foreign_page() {
        let rule = OriginRule { bound: IpAddr::from([0, 0, 0, 0]), scheme: "https" };
        let request = Request::builder().uri("/").header("host", "node.example:8003");
        rule.check(&request.body(()).unwrap()).unwrap();
        let request =
            Request::builder().uri("/").header("host", "node.example").header("origin", "https://a.example");
        assert!(rule.check(&request.body(()).unwrap()).is_err());
    }
}
