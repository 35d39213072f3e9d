//! Holds the roles of the template to the calls that are made: each call is allowed, and nothing is allowed that no call
//! needs.
//!
//! - [`Template`] is the template with its intrinsic functions carried out.
//! - [`Policy`] and [`evaluate`] are AWS's documented logic: allow, deny, wildcards, conditions, resource policies, keys.
//! - [`calls`] are the calls of the functions, recorded by [`record`], and those that AWS makes on behalf of the template.
//! - [`check`] puts them together.

pub mod calls;
pub mod check;
mod condition;
mod evaluate;
mod exceptions;
mod pattern;
mod policy;
pub mod record;
mod template;

pub use condition::{Condition, ConditionError};
pub use evaluate::{ACCOUNT, Decision, Principal, Request, evaluate};
pub use exceptions::Exceptions;
pub use policy::{Effect, Elements, Policy, PolicyError, Principals, Statement};
pub use template::{REGION, Resource, Template};
