//! Execute: checked here, done by the device or by the core after the answer.

use lamplighter_coap::Code;
use lamplighter_model::{Address, Path, device::Action};

use super::{Context, Plan, Then, arguments, target};
use crate::{
    access::{self, Right},
    reject::Reject,
    tree::Owner,
};

pub(super) fn plan(address: Address, args: &[u8], context: Context<'_>) -> Result<Plan, Reject> {
    target::check_object(address, context)?;
    let (Path::Resource(_), Some((resource, None))) = (address.path, target::resource_of(address))
    else {
        return Err(Reject::method_not_allowed("only resources can be executed"));
    };
    target::check_instance(resource.instance(), Right::Execute, context)?;
    let found = target::find(resource, context)?;
    if !found.operations.execute {
        return Err(Reject::method_not_allowed(
            "the resource cannot be executed",
        ));
    }
    arguments::check(args)?;
    if arguments::forces(args) {
        let (caller, core) = (&context.caller.origin, context.catalogue.core);
        access::check_force(caller, resource.path.instance, core)?;
    }
    match found.owner {
        Owner::Core => Ok(Plan::Done(Then::Executed(Some(
            context.catalogue.core.execute(resource.path, args)?,
        )))),
        Owner::Device => Ok(Plan::Device(
            Action::Execute {
                resource,
                args: args.to_vec(),
            },
            Then::Executed(None),
        )),
        Owner::Stored => Err(Reject::new(
            Code::NOT_IMPLEMENTED,
            "nobody behind this instance can do it",
        )),
    }
}
