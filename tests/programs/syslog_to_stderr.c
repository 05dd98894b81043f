/*
 * syslog(3) that writes to stderr, for where nobody listens to the real one.
 */
#undef _FORTIFY_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <syslog.h>

static void show(int priority, const char *format, va_list values)
{
    fprintf(stderr, "syslog %d: ", priority);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
}

void syslog(int priority, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    show(priority, format, values);
    va_end(values);
}

/* What the C library makes of it in a fortified program. */
void __syslog_chk(int priority, int flag, const char *format, ...);
void __syslog_chk(int priority, int flag, const char *format, ...)
{
    va_list values;
    (void)flag;
    va_start(values, format);
    show(priority, format, values);
    va_end(values);
}
