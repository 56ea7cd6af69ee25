-- Studies that a search leads: while its process lives others may take trials of it, up to so many, and what it has spent counts when it goes on after a crash.
ALTER TABLE weir.studies
    ADD COLUMN leader       text, -- NULL: nobody leads it, and anybody may take trials at any time
    ADD COLUMN leader_until timestamptz, -- it is gone when this has passed
    ADD COLUMN trial_max    integer, -- NULL: as the definition says
    ADD COLUMN spent_s      double precision NOT NULL DEFAULT 0,
    ADD COLUMN ended        text; -- why it was ended
