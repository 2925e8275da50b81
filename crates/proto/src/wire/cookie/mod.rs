//! Cookies: `Set-Cookie` as browsers read it, and what the device tells scripts about its jar (`docs/protocol/http.md`, section 9).
//!
//! Own code, because the crates for it are made for servers: `cookie` knows three formats of a date and no nameless cookies, and `cookie_store`
//! on top of it reads the clock.

mod date;
mod news;
mod set_cookie;

pub use news::{Change, Changes, ChangesError, CookieState, Listing, announce};
pub(crate) use set_cookie::is_control;
pub use set_cookie::{CookieError, MAX_ATTRIBUTE, MAX_COOKIE, SameSite, SetCookie};
