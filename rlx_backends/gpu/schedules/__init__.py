"""Schedules of forms for GPUs, one module per form class; see `rlx_backends.base.FormSchedules`."""
