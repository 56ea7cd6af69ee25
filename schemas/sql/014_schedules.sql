-- Schedules of the pipelines' files, and when they fired. Several schedulers may run: whoever inserts the row of a firing has decided that there is one, and whoever holds its lock tells it.
CREATE TABLE weir.schedules (
    pipeline  text NOT NULL,
    schedule  text NOT NULL,
    cron      text NOT NULL,
    time_zone text NOT NULL,
    since     timestamptz NOT NULL, -- first seen like this: what was due before is nobody's
    PRIMARY KEY (pipeline, schedule)
);

CREATE TABLE weir.schedule_firings (
    pipeline text NOT NULL,
    schedule text NOT NULL,
    due_at   timestamptz NOT NULL,
    missed   integer NOT NULL CHECK (missed >= 0), -- earlier ones that this stands for
    told     boolean NOT NULL DEFAULT true, -- false: it was missed, and by its catch-up rule nobody is told
    sent_at  timestamptz, -- its event is in weir.schedule
    PRIMARY KEY (pipeline, schedule, due_at),
    FOREIGN KEY (pipeline, schedule) REFERENCES weir.schedules ON DELETE CASCADE
);
CREATE INDEX schedule_firings_unsent ON weir.schedule_firings (pipeline, due_at) WHERE told AND sent_at IS NULL;
