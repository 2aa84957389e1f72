@echo off
rem Makes the environment in .venv if it isn't there yet, then runs finetune.py with the arguments given:
rem
rem   start_finetune.bat [COMMAND] [OPTIONS]      set PYTHON=C:\path\to\python.exe to choose the Python (3.10 to 3.12)
rem
rem pipeline\environment.py does the work. What this script says goes to standard error.
setlocal EnableExtensions DisableDelayedExpansion
set "HERE=%~dp0"
set "FITS=import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))"
set "FOUND="

if defined PYTHON (
    "%PYTHON%" -c "%FITS%" >nul 2>nul && set FOUND="%PYTHON%"
    goto found
)
for %%V in (3.12 3.11 3.10) do if not defined FOUND py -%%V -c "%FITS%" >nul 2>nul && set "FOUND=py -%%V"
if not defined FOUND python -c "%FITS%" >nul 2>nul && set "FOUND=python"

:found
if not defined FOUND (
    >&2 echo No Python 3.10, 3.11 or 3.12 was found: install Python 3.12 from python.org, or name one with set PYTHON=C:\path\to\python.exe.
    exit /b 1
)
%FOUND% "%HERE%pipeline\environment.py" || exit /b 1
if "%~1"=="--install-only" exit /b 0
"%HERE%.venv\Scripts\python.exe" "%HERE%finetune.py" %*
exit /b %ERRORLEVEL%
