"""CPU schedules, one module per form; see `rlx_backends.base.FormSchedules`."""
